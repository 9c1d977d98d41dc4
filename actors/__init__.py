"""The roles of a mobile operator and the vocabulary that they share."""
