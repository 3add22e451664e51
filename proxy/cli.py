"""The `greenlane` command."""


def main() -> None:
    """Entry point."""
