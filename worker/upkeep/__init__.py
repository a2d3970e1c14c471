"""What is swept up regularly: deadlines, rows past their time, models nobody serves."""
