"""Hedge Backpropagation for event streams: spec, encoder, compiled kernel, learner, Keras network."""
