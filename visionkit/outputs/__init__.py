"""What prediction writes: drawn pictures and videos, JSON, CSV, COCO's and YOLO's formats."""
