"""``python -m asterisk_avp`` is the command line."""

from asterisk_avp.cli import main

if __name__ == "__main__":
    main()
