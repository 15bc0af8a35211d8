"""The commands that make certificates, and put them in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controller.cli.common_options import EXIT_OUT_OF_SYNC, Examples, ExamplesGroup

if TYPE_CHECKING:
    from controller.pki.certificate_folder import CertificateFolder, CertificateSet

_DIRECTORY = "/etc/tunbridge/pki"

_directory = click.option(
    "--directory", metavar="DIR", default=_DIRECTORY, show_default=True, help="The authority's folder."
)
_days = click.option(
    "--days", metavar="DAYS", type=click.IntRange(1, 36500), default=825, show_default=True, help="How long it is good."
)


class _TlsGroup(ExamplesGroup):
    """Says which file something is wrong with."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from None


@click.group("tls", cls=_TlsGroup)
def tls_group() -> None:
    """Certificates: a small authority, and what it certifies."""


@tls_group.command(epilog="tunbridge tls init --directory /etc/tunbridge/pki")
@_directory
@click.option("--name", metavar="TEXT", default="Tunbridge authority", show_default=True, help="For people.")
@click.option(
    "--days",
    metavar="DAYS",
    type=click.IntRange(1, 36500),
    default=3650,
    show_default=True,
    help="How long it is good.",
)
def init(directory: str, name: str, days: int) -> int:
    """Make an authority in a folder that has none.

    Its key, ca-key.pem, stays there: whoever has it can make certificates that all others trust.
    """
    click.echo(f"made {_folder(directory).create(name, days)}")
    return 0


@tls_group.command(
    cls=Examples,
    epilog="""
    tunbridge tls issue topology --for 192.0.2.10
    tunbridge tls issue h1
    """,
)
@click.argument("name", metavar="NAME")
@click.option(
    "--for",
    "alternatives",
    metavar="ADDRESS",
    multiple=True,
    help="IP address or DNS name; may be repeated. Else NAME.",
)
@_days
@_directory
def issue(name: str, alternatives: tuple[str, ...], days: int, directory: str) -> int:
    """Make a key and a certificate for NAME.

    A host's NAME is what [DEFAULT] host says there: that is who it is where [topology] host_rights is set.
    """
    from controller.pki.certificate_authority import check_alternative

    made = _folder(directory).issue(name, tuple(map(check_alternative, alternatives)), days)
    click.echo(f"made {_told(made)}")
    return 0


@tls_group.command(
    cls=Examples,
    epilog="""
    tunbridge tls renew h1
    tunbridge tls renew --expiring 30
    """,
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--expiring", metavar="DAYS", type=click.IntRange(min=0), help="All that expire within so many days, or have."
)
@_days
@_directory
def renew(names: tuple[str, ...], expiring: int | None, days: int, directory: str) -> int:
    """Make keys and certificates anew.

    New files take the place of the old ones in one moment; who uses them goes on with them, without a restart.
    """
    from controller.pki.certificate_authority import now_utc

    if bool(names) == (expiring is not None):
        raise click.UsageError("give names, or --expiring DAYS")
    folder = _folder(directory)
    if expiring is not None:
        now = now_utc()
        names = tuple(one.folder.name for one in folder.sets() if one.info.days_left(now) < expiring)
    else:
        for name in names:
            folder.find(name)  # all or none
    for name in names:
        click.echo(f"renewed {_told(folder.renew(name, days))}")
    return 0


@tls_group.command(epilog="tunbridge tls revoke h3")
@click.argument("name", metavar="NAME")
@_days
@_directory
def revoke(name: str, days: int, directory: str) -> int:
    """Have the certificate of NAME trusted by nobody any more.

    Neither ovsdb-server nor Open vSwitch reads a list of revoked certificates. So a new authority takes the place of
    the old one, and all other certificates are made anew, which then have to be installed where they are used.
    """
    folder = _folder(directory)
    others = folder.revoke(name, days)
    click.echo(f"revoked {name}: {folder.path / 'ca.pem'} is another authority")
    for one in others:
        click.echo(f"renewed {_told(one)}: install it where it is used")
    click.echo("connections that stand go on: restart the server of the topology database to end those of " + name)
    return 0


@tls_group.command(epilog="tunbridge tls install /root/h1 --replace")
@click.argument("source", metavar="SET")
@click.option("--replace", is_flag=True, help="In the place of the one that is there.")
@_directory
def install(source: str, replace: bool, directory: str) -> int:
    """Put a set that was made elsewhere in place, all files in one moment.

    SET is a folder with key.pem, cert.pem and ca.pem.
    """
    click.echo(f"installed {_told(_folder(directory).install(source, replace=replace))}")
    return 0


@tls_group.command("list", epilog="tunbridge tls list --expiring 30 || mail -s certificates root")
@click.option(
    "--expiring",
    metavar="DAYS",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    help="Exit status 3 when one expires within so many days, or has.",
)
@_directory
def list_certificates(expiring: int, directory: str) -> int:
    """Show the certificates, and until when they are good."""
    from controller.pki.certificate_authority import now_utc

    now, late = now_utc(), False
    for one in _folder(directory).sets():
        left = one.info.days_left(now)
        line = f"{one.folder.name}: until {one.info.ends:%Y-%m-%d}, for {', '.join(one.info.alternatives) or '-'}"
        if left < expiring:
            late = True
            line += f"; {'EXPIRED' if left < 0 else f'expires in {left} days'}: `tunbridge tls renew {one.folder.name}`"
        click.echo(line)
    return EXIT_OUT_OF_SYNC if late else 0


def _folder(directory: str) -> CertificateFolder:
    from controller.pki.certificate_folder import CertificateFolder

    return CertificateFolder(directory)


def _told(made: CertificateSet) -> str:
    return f"{made.folder} (until {made.info.ends:%Y-%m-%d})"
