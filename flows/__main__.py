"""`python -m flows`: the command line."""

from flows.interpreter import settle

if __name__ == "__main__":
    settle()  # before anything of weight is imported
    from flows.command_line import main

    main()
