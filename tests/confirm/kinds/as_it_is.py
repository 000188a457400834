"""A kind of experiment that runs a file as it is: ``bench`` is at hand there, and ``figures`` become the figures."""

from nnlint_worker.verdict import confirmed  # type: ignore[import-not-found] # the name it has in the worker


def run(job, bench):  # type: ignore[no-untyped-def]
    (file,) = job.program.files
    names = {"__name__": "__main__", "bench": bench}
    exec(compile(file.text, file.path, "exec"), names)
    return confirmed("ran to its end", **names.get("figures", {}))
