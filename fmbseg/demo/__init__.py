"""``fmbseg demo``: the whole chain on real photographs, with a report that can be read anywhere."""
