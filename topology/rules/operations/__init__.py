"""What a request, a document and a restore make of the topology: operations on a draft, by one set of rules. Pure."""
