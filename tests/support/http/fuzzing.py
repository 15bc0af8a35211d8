"""schemathesis, which makes requests from the OpenAPI document of an API and holds the answers against it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.host.tunbridge import ROOT

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
    "use_after_free",
    "ensure_resource_availability",
    "whole_objects",
    "Reached",
)
"""Not ``positive_data_acceptance``: a request that keeps to the document can contradict what is there, or itself."""


_CONFIG = """
[phases.fuzzing]
extra-data-sources = {responses = false}  # what was answered before is not the same at each run
error-feedback = {enabled = false}

[phases.stateful]
inference = {algorithms = []}  # the links of the document, which all lead from objects that were made

[phases.stateful.generation]
mode = "positive"
"""


def fuzz(url: str, directory: Path, *options: str, seconds: int) -> None:
    """Make requests to an API; what it has found wrong is the text of the failure, with the commands to see it again.

    :param directory: where it may write
    :param options: of ``schemathesis run``
    :param seconds: until it is given up
    """
    (directory / "schemathesis.toml").write_text(_CONFIG)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"{url}/openapi.json"),
            *("--checks", ",".join(_CHECKS)),
            *("--exclude-path", "/v2.0/tunbridge/events"),  # whose answer has no end
            *("--request-timeout", "30", "--continue-on-failure", "--warnings", "off", "--no-color"),
            *options,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.support.http.schemathesis_hooks"},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout + done.stderr
