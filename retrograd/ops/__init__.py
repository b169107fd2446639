"""What is declared: one declaration per op, in one file per family; nothing knows tensors or the tape."""
