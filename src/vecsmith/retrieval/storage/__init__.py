"""Rows of an index: their arrays, ids and files, in memory and in folders."""
