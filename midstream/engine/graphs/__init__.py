"""Graphs: nodes and edges, as code and as data, their versions, their changes, and what is to happen next in one."""
