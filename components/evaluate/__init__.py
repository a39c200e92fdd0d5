"""Evaluation of a trained model on tiles that it was not trained on."""
