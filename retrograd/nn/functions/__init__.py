"""What nn.functional is made of: thin functions over the declared ops, one file per theme."""
