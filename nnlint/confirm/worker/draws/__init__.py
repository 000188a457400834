"""What a script draws at random until it trains, told apart by generator."""
