"""``asterisk-avp`` and ``python -m asterisk_avp``: the command line, or the daemon alone."""

import sys


def main() -> None:
    # The daemon needs neither typer nor the clients of its own API, which take a third of the time
    # and of the memory that it starts with.
    if sys.argv[1:] in (["run"], ["run", "--standby"]):
        from asterisk_avp.cli.run import run  # noqa: PLC0415

        sys.exit(run(standby="--standby" in sys.argv))
    from asterisk_avp.cli import app as cli  # noqa: PLC0415

    cli.main()


if __name__ == "__main__":
    main()
