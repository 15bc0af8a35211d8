"""A token file as an operator writes it."""

from __future__ import annotations

import hashlib
from pathlib import Path

BOSS, ANN, BEN, RITA = (f"{name}-{'0123456789abcdef' * 2}" for name in ("boss", "ann", "ben", "rita"))
"""Tokens of an administrator, of members of the projects ``demo`` and ``other``, and of a reader of ``demo``."""


def write_tokens(path: Path) -> Path:
    """A file with these; half of them by their SHA-256."""
    path.touch(mode=0o600)
    path.write_text(
        f"""# who may use the API
- token: {BOSS}
  user: boss
  roles: [admin]
- sha256: {sha256(ANN)}
  user: ann
  project_id: demo
  roles: [member]
- sha256: {sha256(BEN).upper()}
  user: ben
  project_id: other
  roles: member
- {{token: "{RITA}", user: rita, project_id: demo, roles: [reader]}}
"""
    )
    return path


def sha256(token: str) -> str:
    """As ``printf %s TOKEN | sha256sum`` prints it."""
    return hashlib.sha256(token.encode()).hexdigest()
