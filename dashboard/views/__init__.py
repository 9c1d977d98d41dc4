"""One module per page; each opens with the question it answers."""
