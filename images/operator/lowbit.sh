#!/bin/sh
exec python3 -c 'import sys; from lowbit.cli.main import main; sys.exit(main())' "$@"
