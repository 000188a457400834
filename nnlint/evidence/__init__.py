"""What rules find out from a trace: whether a value is a loss, what a schedule does to the rate, who seeds what."""
