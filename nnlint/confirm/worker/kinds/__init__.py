"""The kinds of experiment, one module each: ``run(job, bench)`` gives the verdict."""
