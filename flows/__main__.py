"""`python -m flows`: the command line, which `./fedstudy` starts."""

if __name__ == "__main__":
    from flows.startup.search_path import leave_working_folder

    leave_working_folder()  # before anything is imported that could lie there

    from federated.foundation.masking import mask_logs, mask_output
    from flows.startup.interpreter import settle

    settle()  # before anything of weight is imported
    mask_output()
    mask_logs()
    from flows.command_line import main

    main()
