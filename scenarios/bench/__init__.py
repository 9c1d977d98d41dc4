"""The benchmark: the table of speed and size that `twin bench` measures.

`rows` says what is measured and against which target, `session` runs each row in a process of its
own, `table` turns samples into verdicts, JSON and text.  It must not be needed by any run.
"""
