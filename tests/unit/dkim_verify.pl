#!/usr/bin/perl
# Verifies the messages whose file names come in on stdin with Mail::DKIM; one line each: "result result... file", a result for
# each signature from the first one down. Argument: a file of lines "name TAB record", which stands for DNS. Exit 77: no Mail::DKIM.
use strict;
use warnings;

eval { require Mail::DKIM::Verifier; require Mail::DKIM::DNS; require Net::DNS; 1 } or exit 77;

my %records;
open(my $list, '<', $ARGV[0]) or die "$ARGV[0]: $!";
while (<$list>) {
    chomp;
    my ($name, $record) = split /\t/, $_, 2;
    $records{$name} = $record;
}
close $list;

no warnings qw(redefine once);
*Mail::DKIM::DNS::query = sub {
    my ($name, $type) = @_;
    $@ = 'NXDOMAIN';
    return unless $type eq 'TXT' && exists $records{lc $name};
    # A character string of DNS holds 255 octets at most.
    my @strings = $records{lc $name} =~ /(.{1,200})/g;
    return Net::DNS::RR->new(name => $name, type => 'TXT', txtdata => \@strings);
};
use warnings;

while (my $file = <STDIN>) {
    chomp $file;
    open(my $in, '<:raw', $file) or die "$file: $!";
    my $message = do { local $/; <$in> };
    close $in;
    my $verifier = Mail::DKIM::Verifier->new();
    $verifier->PRINT($message);
    $verifier->CLOSE();
    my @results = map { $_->result } $verifier->signatures;
    print join(' ', @results, $file), "\n";
}
