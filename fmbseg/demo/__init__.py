"""``fmbseg demo``: the whole chain on real photographs, with a self-contained report."""
