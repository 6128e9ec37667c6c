"""`odl rights`: what an administrator gives the service's user in Redis; see SECURITY.md.

odl rights --functions | redis-cli -x FUNCTION LOAD
odl rights --acl --model model.toml >> users.acl        # then ACL LOAD
"""

import argparse
import sys
from hashlib import sha256
from pathlib import Path

from odl.cli.options import model_config
from odl.errors import Misconfigured
from odl.redis_functions import acl_rules, library


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl rights`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--functions", action="store_true", help="the library for FUNCTION LOAD")
    what.add_argument("--acl", action="store_true", help="a line for Redis's ACL file, for one model")
    parser.add_argument("--model", metavar="FILE.toml", help="the model file; else ODL_MODEL")
    parser.add_argument("--user", default="odl", help="the user's name in Redis (odl)")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="the user's password; its digest is printed"
    )


def run(args: argparse.Namespace) -> int:
    """Print it."""
    if args.functions:
        sys.stdout.write(library())
        return 0
    rules = " ".join(acl_rules(model_config(args).name))
    sys.stdout.write(f"user {args.user} on {_password(args.password_file)} {rules}\n")
    return 0


def _password(path: Path | None) -> str:
    if path is None:
        return ">PASSWORD"
    try:
        return "#" + sha256(path.read_text().strip().encode()).hexdigest()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the password file {path} cannot be read: {error}") from error
