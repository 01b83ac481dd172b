"""The parts of local training: the loss, the model on its examples, the engine."""
