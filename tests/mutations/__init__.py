"""Every file that fmbseg writes and reads back, damaged in every way: told or mended, never believed."""
