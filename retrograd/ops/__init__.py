"""What is declared: one declaration per op, in one file per family. Nothing here knows tensors or the tape."""
