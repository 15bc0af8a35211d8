"""What runs in the containers of docker-compose.yml beside the controller. Standard library only."""
