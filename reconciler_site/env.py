"""Reads the environment once, with clear errors; makes and keeps local secrets for embedded use."""

import json
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet
from environs import Env

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("RECONCILER_VAR", BASE_DIR / "var")).resolve()

env = Env()


def local_secrets() -> dict[str, str]:
    """Return the embedded installation's own secrets, made on first use and readable by us only.

    A production installation never comes here: it sets SECRET_KEY and FIELD_ENCRYPTION_KEYS.
    """
    path = VAR_DIR / "secrets.json"
    if not path.exists():
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        made = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "FIELD_ENCRYPTION_KEYS": f"k1:{Fernet.generate_key().decode()}",
        }
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(made, indent=1), encoding="utf-8")
        try:
            # A hard link fails when another process was first; then its secrets are the ones.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    loaded: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return loaded
