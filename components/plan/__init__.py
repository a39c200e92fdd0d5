"""Plan of a prediction: its model and the tiles that have not been predicted before."""
