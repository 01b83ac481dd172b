"""The clients of a round: who takes part, what each remembers, trains from and sends."""
