"""stub"""
class Reach:
    def __init__(self, function, args, kwargs, objects): self.tensors=[]
    def lines(self, name): return []
