"""Flow tables kept as they should be: compared, written in bundles, watched for drift and refusals."""
