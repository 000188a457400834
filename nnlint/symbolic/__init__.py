"""The reading of a script: its statements executed in order, with values that stand for all a run could see."""
