"""The running of a script: findings are proved or disproved by experiments on the user's own lines."""
