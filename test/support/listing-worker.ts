// A process that makes, moves and removes names in a directory that several of it share, and lists the
// directory after each few changes: its own names must be there, and none of those it took away. In
// perl, for getdents64 with small buffers, and positions that are kept, gone back to and shared.
//
// Arguments: directory, worker's index, seconds, seed, numbers of getdents64 and renameat2. Prints the
// changes and listings that it made; exits with 1 and says which names were wrong on stderr.

/** Entries [name, position] of one getdents64 with a buffer of so many bytes; none at the end. */
const ONE_CALL = String.raw`
sub one_call {
  my ($fd, $room) = @_;
  my $buffer = "\0" x $room;
  my $bytes = syscall($getdents, fileno($fd), $buffer, $room);
  die "getdents64: $!" if $bytes < 0;
  my @entries;
  for (my $at = 0; $at < $bytes;) {
    my (undef, $position, $length) = unpack('QqS', substr($buffer, $at, 18));
    push @entries, [unpack('Z*', substr($buffer, $at + 19, $length - 19)), $position];
    $at += $length;
  }
  return @entries;
}
`;

export const LISTING_WORKER = String.raw`
use strict;
use Fcntl qw(:DEFAULT SEEK_SET);
my ($dir, $me, $seconds, $seed, $getdents, $renameat2) = @ARGV;
${ONE_CALL}
my ($NAMES, $EXCHANGE, $AT_FDCWD) = (100, 2, -100);
srand($seed + $me);
my (%have, $held);
my ($changes, $lists, @wrong) = (0, 0);
# 'Long' names: the listing of eight workers takes more than one page and more than one call.
sub name { "w$me-$_[0]-some-padding-that-fills-pages-quickly" }
sub pick { int rand $_[0] }
sub change {
  my ($from, $to) = (name(pick($NAMES)), name(pick($NAMES)));
  my $kind = pick(4);
  $changes++;
  if ($kind < 2 && $have{$from}) {
    unlink "$dir/$from" or die "unlink: $!";
    delete $have{$from};
  } elsif ($kind < 2 && keys %have < $NAMES / 2) {
    sysopen(my $file, "$dir/$from", O_CREAT | O_EXCL | O_WRONLY) or die "create: $!";
    $have{$from} = 1;
  } elsif ($kind == 2 && $have{$from} && $from ne $to) {
    rename "$dir/$from", "$dir/$to" or die "rename: $!";
    delete $have{$from};
    $have{$to} = 1;
  } elsif ($kind == 3 && $have{$from} && $have{$to} && $from ne $to) {
    my ($one, $other) = ("$dir/$from", "$dir/$to");
    syscall($renameat2, $AT_FDCWD, $one, $AT_FDCWD, $other, $EXCHANGE) == 0 or die "exchange: $!";
  }
}
sub opened { sysopen(my $fd, $dir, O_RDONLY | O_DIRECTORY) or die "open: $!"; $fd }
# Entries [name, position] of at most so many calls from where the descriptor is.
sub entries {
  my ($fd, $calls) = @_;
  my $room = (600, 1200, 4096, 32768)[pick(4)];
  my @entries;
  for (my $call = 0; !$calls || $call < $calls; $call++) {
    my @more = one_call($fd, $room) or last;
    push @entries, @more;
  }
  return @entries;
}
sub own { grep { /^w$me-/ } map { $_->[0] } @_ }
sub compare {
  my ($how, $want, @found) = @_;
  $lists++;
  my %count = map { $_ => 1 } @$want;
  $count{$_}-- for @found;
  my @names = grep { $count{$_} } sort keys %count;
  push @wrong, "$how: " . join(' ', map { ($count{$_} > 0 ? '-' : '+') . $_ } @names) if @names;
}
my @ways = (
  sub { compare('opened', [keys %have], own(entries(opened()))) },
  sub { # Partly read: what the kernel began to keep is left to others.
    entries(opened(), 1 + pick(3));
  },
  sub {
    $held ||= opened();
    sysseek($held, 0, SEEK_SET);
    return entries($held, 1 + pick(3)) if pick(4) == 0;
    compare('rewound', [keys %have], own(entries($held)));
    undef $held if pick(8) == 0;
  },
  sub {
    my $fd = opened();
    my @all = entries($fd);
    compare('before going back', [keys %have], own(@all));
    for (1 .. 2) {
      my $index = pick(scalar @all);
      sysseek($fd, $all[$index][1], SEEK_SET);
      my @rest = @all[$index + 1 .. $#all];
      compare('gone back', [own(@rest)], own(entries($fd)));
    }
  },
  sub { # Two processes on one position: each entry is read by one of them.
    my $fd = opened();
    pipe(my $from, my $to) or die "pipe: $!";
    my $child = fork();
    if ($child == 0) {
      syswrite($to, join("\n", own(entries($fd)), ''));
      exit 0;
    }
    close $to;
    my @found = own(entries($fd));
    push @found, map { chomp; $_ } <$from>;
    waitpid($child, 0);
    compare('shared', [keys %have], @found);
  },
  sub {
    my $fd = opened();
    change();
    compare('changed after opening', [keys %have], own(entries($fd)));
  },
);
my $end = time + $seconds;
my $quiet = 1;
while (time < $end && @wrong < 5) {
  # In turns: many changes, where copies are never finished, and few, where they are used.
  $quiet = !$quiet if pick(200) == 0;
  if ($quiet) { change() if pick(8) == 0 } else { change() for 1 .. pick(4) }
  $ways[$quiet && pick(2) ? 0 : pick(scalar @ways)]->();
}
print "$changes $lists\n";
print STDERR "worker $me, $_\n" for @wrong;
exit(@wrong ? 1 : 0);
`;

/**
 * Reads the first names of a directory; has it listed by others, a name added, and it listed again; reads on.
 * Of directories of each size about one page and two of Linux's copy, which 63 and 127 names (of 64 bytes
 * there) and `.` and `..` fill. Arguments: directory to make all in, number of getdents64. Prints a line for
 * each: it ends with 'all' when no name was missed.
 */
export const OVERTAKEN_READER = String.raw`
use strict;
use Fcntl qw(:DEFAULT);
my ($top, $getdents) = @ARGV;
${ONE_CALL}
mkdir $top or die "mkdir: $!";
sub names { map { $_->[0] } @_ }
sub rest {
  my ($fd) = @_;
  my (@names, @more);
  push @names, names(@more) while @more = one_call($fd, 32768);
  return @names;
}
for my $size (61 .. 65, 125 .. 129) {
  my $dir = "$top/$size";
  mkdir $dir or die "mkdir: $!";
  my $name = sub { sprintf '%03d-%s', $_[0], 'n' x 36 };
  my $open = sub { sysopen(my $fd, $dir, O_RDONLY | O_DIRECTORY) or die "open: $!"; $fd };
  my $make = sub { sysopen(my $fd, "$dir/$_[0]", O_CREAT | O_WRONLY) or die "create: $!" };
  $make->($name->($_)) for 1 .. $size - 1;
  my $reader = $open->();
  my @found = names(one_call($reader, 600));
  rest($open->());
  $make->($name->($size));
  my $others = rest($open->());
  push @found, rest($reader);
  my %found = map { $_ => 1 } @found;
  my @missed = grep { !$found{$name->($_)} } 1 .. $size - 1;
  print "$size: others $others, ", @missed ? scalar(@missed) . ' missed' : 'all', "\n";
}
`;
