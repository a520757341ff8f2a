"""What campaigns were worth, what other policies would be, and what is to be learnt from them."""
