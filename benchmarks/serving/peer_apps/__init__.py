"""The peers' services, written as their documentation recommends. They run in environments of their own."""
