"""What the service must reach: beside its peers, overloaded, restarted, over 100,000 requests, bit for bit."""
