"""deploy/: the Compose file, what it mounts, and what Prometheus scrapes fit together."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from proxy.configuration import examine

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_every_file_that_is_mounted_is_there():
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    files = [source for source in mounted if source.startswith(".")]
    assert files
    assert all((DEPLOY / source).is_file() for source in files)
    assert {source for source in mounted if not source.startswith(".")} == set(COMPOSE["volumes"])


def test_the_image_is_built_from_the_repository():
    assert (DEPLOY / SERVICES["greenlane"]["build"]["context"]).resolve() == ROOT


def test_every_secret_of_the_configuration_is_in_the_environment():
    text = (DEPLOY / "greenlane.yaml").read_text()
    wanted = set(re.findall(r"env:(\w+)", re.sub(r"#.*", "", text)))
    given = SERVICES["greenlane"]["environment"]
    assert wanted <= set(given)
    config = examine(text, dict.fromkeys(given, "secret")).config
    assert config is not None
    assert config.keys


def test_the_server_may_drain_before_it_is_killed():
    config = examine((DEPLOY / "greenlane.yaml").read_text(), {"GREENLANE_KEY": "secret"}).config
    assert config is not None
    assert int(SERVICES["greenlane"]["stop_grace_period"].removesuffix("s")) > config.server.drain_delay_s + config.server.drain_s


def test_ports_are_published_on_loopback_only():
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert [port.rpartition(":")[0] for port in ports] == ["127.0.0.1:8080", "127.0.0.1:9090"]


def test_prometheus_scrapes_the_service_where_it_listens():
    (job,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in SERVICES
    assert SERVICES[host]["ports"][0].endswith(f":{port}")
    assert job["metrics_path"] == "/metrics"
