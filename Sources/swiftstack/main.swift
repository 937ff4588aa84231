print("swiftstack")
