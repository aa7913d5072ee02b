"""What can be measured: data, training, evaluation, parameters, MACs and FPS."""
