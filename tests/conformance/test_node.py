"""The official JavaScript clients: runs `tests/node/*.test.mjs` with Node's own test runner."""

from __future__ import annotations

import os
import shutil
import subprocess
from xml.etree import ElementTree as ET

from tests.conformance import tools


def test_the_javascript_clients(fleet, faulty_proxy, keyed, tmp_path):
    folder = tools.node_folder()
    for file in tools.NODE.glob("*.mjs"):
        shutil.copy(file, tmp_path)
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    node = tools.python().with_name("node")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ANTHROPIC_"))},
        "BASE_URL": fleet.base,
        "FAULTS_URL": faulty_proxy.base,
        "KEYED_URL": keyed.base,
    }
    command = [str(node), "--test", "--test-reporter=junit", "--test-concurrency=1", *sorted(map(str, tmp_path.glob("*.test.mjs")))]
    ran = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=600, check=False)
    cases = list(ET.fromstring(ran.stdout).iter("testcase"))
    assert len(cases) > 100, ran.stdout[-2000:] + ran.stderr
    failed = [f"{case.get('name')}\n{(found.text or '')[:1500]}" for case in cases if (found := case.find("failure")) is not None]
    assert not failed, f"{len(failed)} failed\n" + "\n".join(failed[:40])
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr
