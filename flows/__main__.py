"""`python -m flows`: the command line, which `./fedstudy` starts."""

from federated.foundation.masking import mask_logs, mask_output
from flows.interpreter import settle

if __name__ == "__main__":
    settle()  # before anything of weight is imported
    mask_output()
    mask_logs()
    from flows.command_line import main

    main()
