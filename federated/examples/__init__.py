"""What every data set becomes: inputs, targets and who holds them."""
