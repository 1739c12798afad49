module example.invalid/holdfast/pause

go 1.21
