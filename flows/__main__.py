"""`python -m flows`: the command line."""

from flows.command_line import main

if __name__ == "__main__":
    main()
