"""Which deployment serves a request, and why. See docs/policies.md."""
